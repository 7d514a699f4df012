#pragma once

#include <string>

namespace retinue {

/// What the MPI library says of itself, in one line; MPI need not have been started.
std::string mpi_library_version();

}  // namespace retinue
