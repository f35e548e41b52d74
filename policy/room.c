#include "policy/room.h"
