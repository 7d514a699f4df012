// Replaces libFuzzer where the compiler has none: mutates the files of a folder, without coverage.
//   image_fuzz SECONDS SEED FILE_OR_FOLDER...
// The current input is kept in fuzz-last-input, so that a crash can be repeated with that file. An
// input that takes over a minute of processor time, or ten minutes, ends the program, too.
#include "parallel/base/rng.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/time.h>
#include <unistd.h>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes read(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// One to eight changes: a bit, a byte, a boundary value, a cut, a run moved from elsewhere.
void mutate(Bytes& bytes, const Bytes& other, std::uint64_t key) {
  const std::uint64_t changes = 1 + retinue::random_bits(key, 0) % 8;
  for (std::uint64_t i = 1; i <= changes && !bytes.empty(); ++i) {
    const std::uint64_t bits = retinue::random_bits(key, i);
    // Half of the changes fall on the headers.
    const std::size_t range = bits & 1 ? bytes.size() : std::min<std::size_t>(bytes.size(), 128);
    const std::size_t at = (bits >> 16) % range;
    switch ((bits >> 1) % 6) {
      case 0:
        bytes[at] ^= static_cast<std::uint8_t>(1U << ((bits >> 8) & 7));
        break;
      case 1:
        bytes[at] = static_cast<std::uint8_t>(bits >> 8);
        break;
      case 2:
        bytes[at] = bits & 256 ? 0xFF : 0x00;
        break;
      case 3:
        bytes.resize(at + 1);
        break;
      case 4:
        for (std::size_t k = at; k < bytes.size() && k < at + 4; ++k)
          bytes[k] = bits & 256 ? 0xFF : 0x7F;
        break;
      default: {
        const std::size_t from = other.empty() ? 0 : (bits >> 40) % other.size();
        for (std::size_t k = 0; k < 32 && at + k < bytes.size() && from + k < other.size(); ++k)
          bytes[at + k] = other[from + k];
      }
    }
  }
}

/// Of the next input. A busy machine may take long for little processor time.
void limit_time() {
  const itimerval minute = {{0, 0}, {60, 0}};
  ::setitimer(ITIMER_PROF, &minute, nullptr);
  ::alarm(600);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s SECONDS SEED FILE_OR_FOLDER...\n", argv[0]);
    return 2;
  }
  std::vector<Bytes> corpus;
  for (int i = 3; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      corpus.push_back(read(argv[i]));
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argv[i]))
      if (entry.file_size() <= 20000) corpus.push_back(read(entry.path()));
  }
  if (corpus.empty()) return 2;
  limit_time();
  for (const Bytes& bytes : corpus) LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(argv[1]));
  const std::uint64_t seed = retinue::mix64(std::strtoull(argv[2], nullptr, 10));
  std::uint64_t rounds = 0;
  for (; std::chrono::steady_clock::now() < end; ++rounds) {
    const std::uint64_t key = retinue::random_bits(seed, rounds);
    Bytes bytes = corpus[key % corpus.size()];
    mutate(bytes, corpus[(key >> 32) % corpus.size()], key);
    std::ofstream("fuzz-last-input", std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    // A block of its own size, so that a sanitizer sees a read past the end.
    const Bytes exact(bytes.begin(), bytes.end());
    limit_time();
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
  }
  std::printf("%llu inputs in %.0f s of processor time\n", static_cast<unsigned long long>(rounds),
              static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
}
