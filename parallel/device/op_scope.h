#pragma once

// Tested through tests/layers/ops/plan_mode_test.cpp.

#include "parallel/device/context.h"

namespace retinue {

/// Around the calls that enqueue one op: a named range for profilers, and the place where a refused
/// launch is noticed. Where the context waits after ops, it also waits for this one, so that the
/// error names the kernel that failed and not a later one. Does nothing on CPU.
class OpScope {
 public:
  OpScope(const Context& ctx, const char* op);
  ~OpScope();
  OpScope(const OpScope&) = delete;
  OpScope& operator=(const OpScope&) = delete;

  /// Called when all of the op has been enqueued. Throws: SystemError naming the op.
  void finish() const;

 private:
  const Context& ctx_;
  const char* op_;
};

}  // namespace retinue
