#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace retinue::launcher {

/// A process that another one started and has not waited for.
struct Child {
  pid_t process = 0;
  bool dead = false;  ///< it has ended, and its parent has not noticed
};
/// The children of all threads of `process`.
std::vector<Child> children_of(pid_t process);

/// The rank that mpirun gave to `process`, from its environment; empty for a process that is no
/// rank, or has not started its program yet.
std::string rank_of_process(pid_t process);

/// Finds out which rank below an mpirun of this machine ends first. mpirun reports it, too, but
/// --quiet silences that report with all others.
class FirstToEnd {
 public:
  using RankOf = std::function<std::string(pid_t process)>;
  explicit FirstToEnd(RankOf rank_of = rank_of_process) : rank_of_(std::move(rank_of)) {}

  /// The children of mpirun as they are now.
  void look(const std::vector<Child>& children);
  /// "rank 1 (process 23)". Empty where none was seen to end, or several ended between two looks,
  /// or mpirun had other children: those reach other machines, where a rank may have ended before.
  [[nodiscard]] std::string text() const { return first_.size() == 1 ? first_[0] : ""; }

 private:
  RankOf rank_of_;
  std::map<pid_t, std::string> ranks_;
  std::set<pid_t> others_;
  std::vector<std::string> first_;
};

}  // namespace retinue::launcher
