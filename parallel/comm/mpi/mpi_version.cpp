#include "parallel/comm/mpi/mpi_version.h"

#include <mpi.h>

#include <array>

namespace retinue {

std::string mpi_library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int size = 0;
  if (MPI_Get_library_version(text.data(), &size) != MPI_SUCCESS) return "unknown";
  // Open MPI adds its package, its builder and a date, each after a comma.
  const std::string version(text.data(), static_cast<std::size_t>(size));
  return version.substr(0, version.find(','));
}

}  // namespace retinue
