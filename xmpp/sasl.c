#include "xmpp/sasl.h"
