#include "xmpp/query.h"
