#pragma once

#include "cuda_emulator/runtime_api.h"
