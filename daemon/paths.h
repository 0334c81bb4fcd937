/*
 * paths.h - where make install puts things; paths.c is written by the makefile.
 */
#ifndef OUTBOXD_DAEMON_PATHS_H
#define OUTBOXD_DAEMON_PATHS_H

extern const char path_token_program[];

#endif
