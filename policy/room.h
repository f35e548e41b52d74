/*
 * One room's state machine. Private to policy/: rooms.h is the way in.
 */
#pragma once

#include "policy/rooms.h"
