#include "runtime/input/media.h"
