#pragma once
// Tested through tests/system/doctor_test.cpp.

#include "runtime/jobs/job.h"
#include "runtime/jobs/options.h"

#include <cstdint>

namespace retinue::runtime {

struct DoctorOptions {
  RunOptions run;  ///< without a model its files are not looked at
  bool json = false;
  double sweep_s = 2;                   ///< per communicator
  std::int64_t answer_deadline_s = 30;  ///< for what each rank looks at alone
};

/// Rank 0 prints what is wrong with the machines and their links. 0: nothing broken; 3: something
/// is. Throws: SystemError when a rank did not answer or was lost on the way, after all that is
/// known was printed.
int run_doctor(const Session& session, const DoctorOptions& options);

}  // namespace retinue::runtime
