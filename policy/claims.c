#include "policy/claims.h"
