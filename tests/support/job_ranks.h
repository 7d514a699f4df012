#pragma once

#include "runtime/jobs/job.h"
#include "tests/support/temporary_folder.h"

#include <functional>
#include <string>

namespace retinue::test {

/// Runs a job with as many threads as ranks, each with its Session. Returns the exit code, on which
/// all ranks must agree. What a rank throws is thrown here, the first of them; the others end too.
int run_job(int ranks, const std::function<int(const runtime::Session&)>& job);

std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

/// Folder of the golden data of models; of one configuration in it.
std::string golden_folder();
std::string golden_config(const std::string& config);

/// Options of a run on a golden configuration as its reference ran: seeded weights, float32,
/// colours under transparent pixels kept.
runtime::RunOptions golden_run(const std::string& config);

}  // namespace retinue::test
