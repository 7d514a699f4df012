#pragma once

#include "parallel/device/context.h"

namespace retinue {

/// Around the calls that enqueue one op: a named range for profilers, and the place where a refused
/// launch is noticed. With RETINUE_SYNC=1, or where the context says so, it also waits for the op,
/// so that a kernel that fails is named and not one after it. Nothing on CPU.
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
