#include "xmpp/buf.h"
