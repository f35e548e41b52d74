/*
 * The elements an XMPP stream over WebSocket opens, fails and closes with (RFC 7395 section 3.3
 * to 3.6). Each is one whole message: a <stream:error/> therefore declares its own prefix.
 */
#include "xmpp/framing.h"

#include "xmpp/ns.h"

void framing_open(struct buf *out, const char *to)
{
    buf_add_str(out, "<open xmlns='" NS_FRAMING "' to='");
    buf_add_xml(out, to);
    buf_add_str(out, "' version='1.0'/>");
}

void framing_open_answer(struct buf *out, const char *from, const char *id)
{
    buf_add_str(out, "<open xmlns='" NS_FRAMING "' from='");
    buf_add_xml(out, from);
    buf_add_str(out, "' id='");
    buf_add_xml(out, id);
    buf_add_str(out, "' version='1.0' xml:lang='en'/>");
}

void framing_close(struct buf *out)
{
    buf_add_str(out, "<close xmlns='" NS_FRAMING "'/>");
}

void framing_stream_error(struct buf *out, const char *condition, const char *text)
{
    buf_printf(out, "<stream:error xmlns:stream='%s'><%s xmlns='%s'/>", NS_STREAMS, condition,
               NS_STREAM_ERRORS);
    if (text) {
        buf_printf(out, "<text xmlns='%s' xml:lang='en'>", NS_STREAM_ERRORS);
        buf_add_xml(out, text);
        buf_add_str(out, "</text>");
    }
    buf_add_str(out, "</stream:error>");
}
