/*
 * One BOSH session (see bosh_session.h): the skeleton.
 */
#include "xmpp/bosh_session.h"

struct bosh_session *bosh_session_new(const char *sid, const struct bosh_body *first, void *request,
                                      const struct bosh_actions *actions, void *ctx, int64_t now_ms)
{
    return NULL;
}

void bosh_session_free(struct bosh_session *b)
{
}

void bosh_session_request(struct bosh_session *b, struct bosh_body *body, void *request,
                          int64_t now_ms)
{
}

void bosh_session_gone(struct bosh_session *b, void *request, int64_t now_ms)
{
}

void bosh_session_send(struct bosh_session *b, const char *data, size_t len)
{
}

void bosh_session_flush(struct bosh_session *b, int64_t now_ms)
{
}

bool bosh_session_is_full(const struct bosh_session *b)
{
    return false;
}

void bosh_session_stop(struct bosh_session *b)
{
}

void bosh_session_go(struct bosh_session *b)
{
}

void bosh_session_close(struct bosh_session *b, const char *condition, int64_t now_ms)
{
}

bool bosh_session_is_done(const struct bosh_session *b)
{
    return true;
}

void bosh_session_tick(struct bosh_session *b, int64_t now_ms)
{
}

int64_t bosh_session_last_request(const struct bosh_session *b)
{
    return 0;
}
