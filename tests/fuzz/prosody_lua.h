/*
 * Prosody's own Lua code, run beside ours.
 */
#pragma once

#include <lua.h>

/* A Lua in which chunk was run, with Prosody's modules in reach; NULL when it could not be, which is
 * said on stderr once: a machine without Prosody then compares nothing. Never closed. */
lua_State *prosody_lua(const char *chunk);
