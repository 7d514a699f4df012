#pragma once

// Tested through tests/launcher/info_test.cpp.

#include <string>

namespace retinue {

/// The MPI library's name and version, in one line. MPI need not have been started.
std::string mpi_library_version();

}  // namespace retinue
