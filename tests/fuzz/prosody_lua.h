/*
 * Prosody's own Lua code, run beside ours.
 */
#pragma once

#include <lua.h>

/* A Lua in which chunk was run, with Prosody's modules in reach; aborts where it cannot be, since a comparison
 * that is left out looks like one that went well. Never closed. */
lua_State *prosody_lua(const char *chunk);
