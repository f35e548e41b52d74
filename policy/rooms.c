#include "policy/rooms.h"
