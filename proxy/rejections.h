/*
 * What was refused: counted by kind, and told in the log by address. The first refusal of a kind to an
 * address is told at once; more of it within a minute only count, and one line says how many.
 *
 * Nobody makes it grow: there are REJECTIONS_ADDRESSES_MAX addresses at a time, and all that do not
 * fit are told together, as "others".
 */
#pragma once

#include "proxy/close_reasons.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REJECTIONS_ADDRESSES_MAX 1024
#define REJECTIONS_MINUTE_MS 60000

/* X(NAME, "name in the log"). Behind them come the close reasons, by their names. */
#define REJECTIONS(X)                                                                              \
    X(HTTP_400, "http_400")                                                                        \
    X(HTTP_403, "http_403")                                                                        \
    X(HTTP_404, "http_404")                                                                        \
    X(HTTP_405, "http_405")                                                                        \
    X(HTTP_411, "http_411")                                                                        \
    X(HTTP_413, "http_413")                                                                        \
    X(HTTP_426, "http_426")                                                                        \
    X(HTTP_429, "http_429")                                                                        \
    X(HTTP_431, "http_431")                                                                        \
    X(HTTP_501, "http_501")                                                                        \
    X(HTTP_503, "http_503")                                                                        \
    X(HTTP_OTHER, "http_other")                                                                    \
    X(NO_REQUEST, "no_request")     /* none in limits.handshake_timeout */                         \
    X(CROWDED_OUT, "crowded_out")   /* it waited with its request, and others came */              \
    X(LOGIN_FAILED, "login_failed") /* by Prosody (SASL) */                                        \
    X(BOSH_BODY, "bosh_body")       /* a body answered with a condition */                         \
    X(BOSH_UNKNOWN_SID, "bosh_unknown_sid") /* of no session: a late one, or one that was tried */

enum rejection {
#define REJECTION_ENUM(name, text) REJECTION_##name,
    REJECTIONS(REJECTION_ENUM)
#undef REJECTION_ENUM
    REJECTION_CLOSE, /* + an enum close_reason */
    REJECTION_COUNT = REJECTION_CLOSE + CLOSE_COUNT,
};

struct rejections;

struct rejections *rejections_new(void); /* NULL when out of memory */
void rejections_free(struct rejections *r);

/* One refusal, to an address (counted with its network, see peer_network) or to none (zero). Whether
 * it is to be told in the log now. */
bool rejections_note(struct rejections *r, const struct in6_addr *address, enum rejection kind,
                     int64_t now);
/* One that is no refusal of the client's: only the total counts it. */
void rejections_count(struct rejections *r, enum rejection kind);
enum rejection rejection_of_status(int status);
/* Every second or so: tells of addresses whose minute is over. */
void rejections_tick(struct rejections *r, int64_t now);
/* At the end: tells what is left to tell, and the totals. */
void rejections_finish(struct rejections *r);

uint64_t rejections_total(const struct rejections *r, enum rejection kind);
const char *rejection_name(enum rejection kind);
