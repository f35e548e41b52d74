#include "xmpp/sm.h"
