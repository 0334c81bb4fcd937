/*
 * compose_text.h - what compose_ours.c and compose_gmime.c compose; compose_python.py reads it here.
 */
#ifndef OUTBOXD_TESTS_BENCH_COMPOSE_TEXT_H
#define OUTBOXD_TESTS_BENCH_COMPOSE_TEXT_H

#define BENCH_FROM     "\"Telefonanlage Müller & Söhne\" <pbx@acme.example>"
#define BENCH_TO       "Jörg Weiß <joerg@acme.example>, \"Smith, John\" <john.smith@example.net>"
#define BENCH_SUBJECT  "Neue Sprachnachricht für Jörg Weiß (0:42) 😀"
#define BENCH_FILENAME "Übersicht März.pdf"
#define BENCH_LINE     "Sie haben eine neue Nachricht von Größe & Söhne: bitte zurückrufen.\n"
#define BENCH_TEXT     BENCH_LINE BENCH_LINE BENCH_LINE BENCH_LINE BENCH_LINE BENCH_LINE BENCH_LINE BENCH_LINE

#endif
