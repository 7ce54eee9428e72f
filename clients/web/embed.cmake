# The page's files in, one C file out: the table srv_web_files of server/http_client.h.
#     cmake -DTO=FILE.c -P embed.cmake FILE...
# Each file is served under its name, index.html as "/"; the ETag is the SHA-256.
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")

math(EXPR last "${CMAKE_ARGC} - 1")
set(rows "")
file(WRITE ${TO}.new "#include \"server/http_client.h\"\n\n")
foreach(i RANGE 4 ${last}) # behind "cmake -DTO=... -P embed.cmake"
  set(file ${CMAKE_ARGV${i}})
  get_filename_component(name ${file} NAME)
  string(REGEX REPLACE "^index.html$" "" path ${name})
  string(REGEX REPLACE ".*\\." "type_" type ${name})
  file(SHA256 ${file} hash)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  file(APPEND ${TO}.new "static const unsigned char file_${i}[] = {\n${bytes}};\n\n")
  string(APPEND rows "    {\"/${path}\", \"${${type}}\", \"\\\"${hash}\\\"\", (const char *)file_${i}, sizeof file_${i}},\n")
endforeach()
file(APPEND ${TO}.new "const struct srv_web_file srv_web_files[] = {\n${rows}    {NULL, NULL, NULL, NULL, 0},\n};\n")
file(RENAME ${TO}.new ${TO})
