/*
 * Who may come in: by the page a browser connects from, the domain a client opens a stream to, and
 * what may be said before login. Decided from what is given, without a socket.
 */
#pragma once

#include "proxy/config.h"
#include "xmpp/http.h"
#include "xmpp/stanza.h"

/* A WebSocket, and everything else that is more than a plain reading: exactly one Origin, and one of
 * the list; or none where that is allowed. A browser reading its own page's address sends none. */
bool door_origin_is_allowed(const struct config *config, const struct http_head *request);

enum door_answer {
    DOOR_OPEN,
    DOOR_HOST_UNKNOWN,  /* a domain that is none of this client's affair */
    DOOR_NO_ADDRESS,    /* to is missing, or is no domain */
    DOOR_NO_MEMORY,
};

/* Whether the client at from may open a stream to that domain (to may be NULL). *ret_is_main: it is
 * xmpp.domain. Those of service.allowed_from may open one to service.domain. */
enum door_answer door_opens_to(const struct config *config, const char *to,
                               const struct in6_addr *from, bool *ret_is_main);

/* Whether service passwords can be tried by everybody: the accounts' domain is one that clients use. */
bool door_service_is_public(const struct config *config);

/* Whether a message is one of those by which a client logs in (RFC 7395 section 3.4, RFC 6120
 * sections 6.4 and 7.6, XEP-0198 section 5). Prosody would take others, and a registration or a login
 * of another kind (XEP-0077, XEP-0078) would go past what is learnt of the stream. */
bool door_is_for_login(const struct element *e, enum stanza_kind kind);

/* Whether an element that is no stanza names an address, which none has: Prosody hands it to the host
 * that it names, and a password would be tried there, past door_opens_to. */
bool door_is_misaddressed(const struct element *e, enum stanza_kind kind);
