#include "tests/support/cuda_emulator/src/nccl_shared.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace cuda_emulator {

std::unique_ptr<SharedCommunicator> SharedCommunicator::open(const std::string& name, int ranks) {
  const auto count = static_cast<std::size_t>(ranks);
  const std::size_t header_bytes = (sizeof(SharedHeader) + 4095) / 4096 * 4096;
  const std::size_t bytes =
      header_bytes + count * kChunkBytes + count * count * sizeof(SharedChannel);
  const int file = shm_open(name.c_str(), O_CREAT | O_RDWR, 0600);
  if (file < 0) return nullptr;
  // Pages that are never touched take no memory.
  void* mapping = MAP_FAILED;
  if (ftruncate(file, static_cast<off_t>(bytes)) == 0) {
    mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  close(file);
  if (mapping == MAP_FAILED) return nullptr;
  std::unique_ptr<SharedCommunicator> shared(new SharedCommunicator);
  shared->name_ = name;
  shared->ranks_ = ranks;
  shared->bytes_ = bytes;
  shared->header_ = static_cast<SharedHeader*>(mapping);
  shared->chunks_ = static_cast<char*>(mapping) + header_bytes;
  shared->channels_ = reinterpret_cast<SharedChannel*>(shared->chunks_ + count * kChunkBytes);
  return shared;
}

SharedCommunicator::~SharedCommunicator() { munmap(header_, bytes_); }

void SharedCommunicator::remove_name() { shm_unlink(name_.c_str()); }

}  // namespace cuda_emulator
