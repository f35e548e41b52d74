/*
 * Addresses from any bytes. A prepared address prepared again is the same one: if it were not, two
 * spellings that Prosody takes for one room could be two here.
 */
#include "xmpp/muc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void locate(const struct jid *jid)
{
    static const struct muc_service service = {.domain = "meet.example.com",
                                               .muc = "conference.meet.example.com",
                                               .lobby = "lobby.meet.example.com",
                                               .tenants = true};
    struct muc_room room;
    bool no_memory;
    if (muc_locate(&service, jid, &room, &no_memory) == MUC_ELSEWHERE)
        return;
    if (room.node[0] == '\0' || !strstr(room.jid, "@conference.meet.example.com") ||
        strcmp(room.nick, jid->resource) != 0)
        abort();
    muc_room_done(&room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jid jid, again;
    if (jid_parse((const char *)data, size, &jid) != JID_OK)
        return 0;
    if (jid.domain[0] == '\0')
        abort();
    locate(&jid);
    char *full = jid_full(&jid), *bare = jid_bare(&jid);
    if (!full || !bare || strncmp(full, bare, strlen(bare)) != 0)
        abort();
    /* A node that came out of the domain (see jid.c) was never prepared as a node. */
    if (jid_parse(full, strlen(full), &again) == JID_OK) {
        if (!jid_same_bare(&jid, &again) && jid.domain[strlen(jid.domain) - 1] != '.')
            abort();
        jid_done(&again);
    }
    free(full);
    free(bare);
    jid_done(&jid);
    return 0;
}
