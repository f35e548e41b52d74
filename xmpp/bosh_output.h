/*
 * What goes to the client of a BOSH session: the messages of the server as they come over its
 * WebSocket, gathered for the next <body/>, without what BOSH says in another way.
 */
#pragma once

#include "xmpp/buf.h"

struct bosh_output {
    struct buf messages; /* one behind the other, as they go into a <body/> */
    char *id, *from;     /* of the server's first <open/>; NULL as long as there is none */
    bool is_open;        /* the first <open/> was there */
    bool has_error;      /* a <stream:error/> was among them */
    bool is_closed;      /* <close/> was */
    bool failed;         /* no memory: something is missing */
};

void bosh_output_done(struct bosh_output *o); /* accepts a zeroed one */
void bosh_output_add(struct bosh_output *o, const char *data, size_t len);
