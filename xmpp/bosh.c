/*
 * BOSH bodies (see bosh.h): the skeleton.
 */
#include "xmpp/bosh.h"

enum bosh_result bosh_read(struct parser *parser, const char *data, size_t len,
                           const struct parse_limits *limits, struct bosh_body *ret,
                           enum parse_result *ret_parse, const char **ret_why)
{
    *ret_why = "not there yet";
    return BOSH_BAD_REQUEST;
}

void bosh_body_done(struct bosh_body *body)
{
}

void bosh_terminate_body(struct buf *out, const char *condition)
{
    buf_add_str(out, "<body xmlns='" NS_BOSH "' type='terminate'/>");
}
