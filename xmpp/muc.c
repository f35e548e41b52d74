#include "xmpp/muc.h"
