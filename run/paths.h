/*
 * paths.h - where make install puts things; paths.c is written by the makefile.
 */
#ifndef OUTBOXD_RUN_PATHS_H
#define OUTBOXD_RUN_PATHS_H

extern const char path_token_program[];

#endif
