#pragma once

#include "runtime/jobs/job.h"
#include "tests/support/temporary_folder.h"

#include <functional>
#include <string>

namespace retinue::test {

/// Runs a job with threads as ranks, each with its Session. Returns the exit code, which must be
/// the same on all ranks. Throws the first exception of a rank; it ends the other ranks.
int run_job(int ranks, const std::function<int(const runtime::Session&)>& job);

std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

/// Folder of the golden models, and of one configuration: in it, or with those of FP8 weights.
std::string golden_folder();
std::string golden_config(const std::string& config);

/// Options under which the reference ran on a golden configuration: seeded weights, float32, alpha
/// dropped from transparent pixels.
runtime::RunOptions golden_run(const std::string& config);

}  // namespace retinue::test
