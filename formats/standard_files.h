/* A program that was started with one of its standard files closed would open a file of data there, and
 * what it has to say would go into the data. */
#ifndef FMT_STANDARD_FILES_H
#define FMT_STANDARD_FILES_H

/** Opens /dev/null where standard input, output or error is closed; before any other file is opened. */
void fmt_standard_files(void);

#endif
