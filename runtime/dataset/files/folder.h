#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include "runtime/dataset/files/visited.h"
#include "runtime/dataset/item.h"

#include <string>

namespace retinue::runtime {

/// Adds the images and videos of a folder and of all folders below it, in the order of the bytes of
/// their whole paths. Every file that has the name of an image or video is an item, which fails
/// where it cannot be read, so that it is not lost silently; so is a broken link or a named pipe.
/// All other files are counted as passed over; so are folders that were visited before.
///   by_name  whether the user named this folder; else a pattern matched it, and a folder without an
///            item is counted
///   returns  false when the sink wants no more
/// Throws: UsageError for a folder that cannot be read; for a named one that gives no item.
bool add_folder(const std::string& folder, ItemSink& sink, Visited& visited, bool by_name);

}  // namespace retinue::runtime
