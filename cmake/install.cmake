# What leaves the build: the library's outside, and where each file is installed.
#     runtime   libtessera.so.0, tessera, the models, the manual
#     daemon    tesserad, its units, its manual, balancers' configurations
#     devel     the headers, libtessera.a, examples, and what finds them: tessera.pc and Tessera's CMake package
add_library(Tessera::tessera ALIAS tessera)
add_library(Tessera::tessera_static ALIAS tessera_static)

# The exported names are a list in the tree, so a change of the interface is a change of that file.
set(exports ${CMAKE_SOURCE_DIR}/src/tessera.map)
target_link_options(tessera PRIVATE -Wl,--version-script=${exports})
set_target_properties(tessera PROPERTIES LINK_DEPENDS ${exports}
  VERSION ${PROJECT_VERSION} SOVERSION ${TESS_SOVERSION})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Tessera)
set(model_dir ${CMAKE_INSTALL_DATADIR}/tessera/models)

set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME runtime)
install(TARGETS tessera EXPORT TesseraTargets
  LIBRARY NAMELINK_COMPONENT devel
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TESS_CLIENTS)
  install(TARGETS tessera_command)
  set(completion ${CMAKE_BINARY_DIR}/clients/completion)
  install(FILES ${completion}.bash RENAME tessera
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${completion}.zsh RENAME _tessera
    DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${completion}.fish RENAME tessera.fish
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  install(FILES docs/man/tessera.1 docs/man/tessera-batch.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
install(DIRECTORY weights/ DESTINATION ${model_dir}
  FILES_MATCHING PATTERN "*.safetensors" PATTERN "tessera-*.md"
  PATTERN train EXCLUDE PATTERN convert EXCLUDE PATTERN __pycache__ EXCLUDE)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.png"
  PATTERN man EXCLUDE)

if(TESS_SERVER)
  set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME daemon)
  install(TARGETS tesserad)
  # The unit names the program where it is installed, which is known only then.
  set(unit ${CMAKE_BINARY_DIR}/tesserad.service)
  install(CODE "set(bindir \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR})
    set(docdir \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DOCDIR})
    configure_file(${CMAKE_SOURCE_DIR}/packaging/tesserad.service.in ${unit} @ONLY)")
  install(FILES ${unit} packaging/tesserad.socket packaging/tesserad-http.socket
    DESTINATION lib/systemd/system)
  install(FILES packaging/tesserad.sysusers DESTINATION lib/sysusers.d RENAME tesserad.conf)
  install(FILES docs/man/tesserad.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
  install(FILES packaging/nginx.conf packaging/haproxy.cfg packaging/Containerfile
    DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
endif()

set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME devel)
install(FILES src/tessera.h src/tessera_wire.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tessera)
install(DIRECTORY clients/examples/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(TARGETS tessera_static EXPORT TesseraStaticTargets
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# Both packages find the prefix from where they lie, so an installed tree may be moved.
file(RELATIVE_PATH pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/tessera.pc.in tessera.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tessera.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/TesseraConfig.cmake.in TesseraConfig.cmake
  INSTALL_DESTINATION ${package_dir} PATH_VARS model_dir)
write_basic_package_version_file(TesseraConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/TesseraConfig.cmake ${CMAKE_BINARY_DIR}/TesseraConfigVersion.cmake
  DESTINATION ${package_dir})
install(EXPORT TesseraTargets NAMESPACE Tessera:: DESTINATION ${package_dir})
install(EXPORT TesseraStaticTargets NAMESPACE Tessera:: DESTINATION ${package_dir})
