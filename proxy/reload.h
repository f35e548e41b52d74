/*
 * SIGHUP: the configuration is read again and swapped whole, or not at all. What is open stays open and
 * goes by the new one; listen.address and state.file stay until a restart, and it is said.
 */
#pragma once

#include "proxy/proxy.h"

/* file as given on the command line; NULL: the environment alone. Everything wrong is logged, and then
 * the old configuration, secrets and certificates stay. */
void reload_config(struct proxy *p, const char *file);
