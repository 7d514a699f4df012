#pragma once

#include <chrono>

namespace retinue {

/// Time as an argument, so that tests control it.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Monotonic seconds since an arbitrary start.
  [[nodiscard]] virtual double now_s() const = 0;
};

class SteadyClock final : public Clock {
 public:
  [[nodiscard]] double now_s() const override {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
};

/// For tests: moves by advance() alone.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] double now_s() const override { return now_s_; }
  void advance(double seconds) { now_s_ += seconds; }

 private:
  double now_s_ = 0;
};

}  // namespace retinue
