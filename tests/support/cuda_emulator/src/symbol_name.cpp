#include "tests/support/cuda_emulator/src/symbol_name.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <link.h>
#include <vector>

namespace cuda_emulator {
namespace {

std::string mangled_name(std::uintptr_t value) {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.size() < sizeof(Elf64_Ehdr)) return {};
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(bytes.data());
  const auto* sections = reinterpret_cast<const Elf64_Shdr*>(bytes.data() + header->e_shoff);
  for (int i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB) continue;
    const auto* symbols = reinterpret_cast<const Elf64_Sym*>(bytes.data() + sections[i].sh_offset);
    const char* names = bytes.data() + sections[sections[i].sh_link].sh_offset;
    for (std::size_t s = 0; s < sections[i].sh_size / sizeof(Elf64_Sym); ++s) {
      if (symbols[s].st_value == value && ELF64_ST_TYPE(symbols[s].st_info) == STT_FUNC) {
        return names + symbols[s].st_name;
      }
    }
  }
  return {};
}

}  // namespace

std::uintptr_t load_address() {
  // That of the first object that the dynamic linker lists.
  std::uintptr_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        *static_cast<std::uintptr_t*>(out) = info->dlpi_addr;
        return 1;
      },
      &address);
  return address;
}

std::string symbol_name(const void* function) {
  const std::string mangled =
      mangled_name(reinterpret_cast<std::uintptr_t>(function) - load_address());
  if (mangled.empty()) {
    char address[32];
    std::snprintf(address, sizeof address, "%p", function);
    return address;
  }
  int status = 0;
  char* demangled = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  std::string name = status == 0 ? demangled : mangled;
  std::free(demangled);
  return name;
}

}  // namespace cuda_emulator
