// What the compiler calls before every load and store of a source that is compiled with
// -fsanitize=thread. The program does not link the sanitizer's own library.
#include "tests/support/cuda_emulator/src/block_executor.h"

#include <cstddef>
#include <cstdint>

using cuda_emulator::Access;
using cuda_emulator::note_access;

// NOLINTBEGIN(bugprone-reserved-identifier, bugprone-macro-parentheses): the compiler's names.

#define RACE_HOOKS_OF_SIZE(prefix, bytes)                                     \
  extern "C" void __tsan_##prefix##read##bytes(const void* address) {         \
    note_access(address, bytes, Access::kRead, __builtin_return_address(0));  \
  }                                                                           \
  extern "C" void __tsan_##prefix##write##bytes(void* address) {              \
    note_access(address, bytes, Access::kWrite, __builtin_return_address(0)); \
  }
RACE_HOOKS_OF_SIZE(, 1)
RACE_HOOKS_OF_SIZE(, 2)
RACE_HOOKS_OF_SIZE(, 4)
RACE_HOOKS_OF_SIZE(, 8)
RACE_HOOKS_OF_SIZE(, 16)
RACE_HOOKS_OF_SIZE(unaligned_, 2)
RACE_HOOKS_OF_SIZE(unaligned_, 4)
RACE_HOOKS_OF_SIZE(unaligned_, 8)
RACE_HOOKS_OF_SIZE(unaligned_, 16)

extern "C" void __tsan_read_range(const void* address, std::size_t bytes) {
  note_access(address, bytes, Access::kRead, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void* address, std::size_t bytes) {
  note_access(address, bytes, Access::kWrite, __builtin_return_address(0));
}
extern "C" void __tsan_vptr_update(void**, void*) {}
extern "C" void __tsan_init() {}

/// The compiler replaces atomic operations by these calls. All are sequentially consistent here.
#define RACE_HOOKS_OF_ATOMICS(bits, type)                                                \
  extern "C" type __tsan_atomic##bits##_load(const volatile type* address, int) {        \
    note_access(const_cast<const type*>(address), sizeof(type), Access::kAtomic,         \
                __builtin_return_address(0));                                            \
    return __atomic_load_n(address, __ATOMIC_SEQ_CST);                                   \
  }                                                                                      \
  extern "C" void __tsan_atomic##bits##_store(volatile type* address, type value, int) { \
    note_access(const_cast<const type*>(address), sizeof(type), Access::kAtomic,         \
                __builtin_return_address(0));                                            \
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);                                  \
  }                                                                                      \
  RACE_HOOK_OF_CHANGE(bits, type, exchange, __atomic_exchange_n)                         \
  RACE_HOOK_OF_CHANGE(bits, type, fetch_add, __atomic_fetch_add)                         \
  RACE_HOOK_OF_CHANGE(bits, type, fetch_sub, __atomic_fetch_sub)                         \
  RACE_HOOK_OF_CHANGE(bits, type, fetch_and, __atomic_fetch_and)                         \
  RACE_HOOK_OF_CHANGE(bits, type, fetch_or, __atomic_fetch_or)                           \
  RACE_HOOK_OF_CHANGE(bits, type, fetch_xor, __atomic_fetch_xor)                         \
  RACE_HOOK_OF_COMPARISON(bits, type, strong)                                            \
  RACE_HOOK_OF_COMPARISON(bits, type, weak)
#define RACE_HOOK_OF_CHANGE(bits, type, name, builtin)                                    \
  extern "C" type __tsan_atomic##bits##_##name(volatile type* address, type value, int) { \
    note_access(const_cast<const type*>(address), sizeof(type), Access::kAtomic,          \
                __builtin_return_address(0));                                             \
    return builtin(address, value, __ATOMIC_SEQ_CST);                                     \
  }
#define RACE_HOOK_OF_COMPARISON(bits, type, name)                                         \
  extern "C" int __tsan_atomic##bits##_compare_exchange_##name(                           \
      volatile type* address, type* expected, type value, int, int) {                     \
    note_access(const_cast<const type*>(address), sizeof(type), Access::kAtomic,          \
                __builtin_return_address(0));                                             \
    return __atomic_compare_exchange_n(address, expected, value, false, __ATOMIC_SEQ_CST, \
                                       __ATOMIC_SEQ_CST);                                 \
  }
RACE_HOOKS_OF_ATOMICS(8, std::uint8_t)
RACE_HOOKS_OF_ATOMICS(16, std::uint16_t)
RACE_HOOKS_OF_ATOMICS(32, std::uint32_t)
RACE_HOOKS_OF_ATOMICS(64, std::uint64_t)

// NOLINTEND(bugprone-reserved-identifier, bugprone-macro-parentheses)
