#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include "runtime/dataset/item.h"

#include <string>

namespace retinue::runtime {

/// Adds the images and videos of a folder and of all folders below it, in the order of the bytes of
/// their whole paths. Every file that has the name of an image or video is an item, which fails
/// where it cannot be read, so that it is not lost silently; so is a broken link or a named pipe.
/// All other files are counted as passed over. A folder that links reach by several paths is read
/// once: with two links in every folder, the work would double with every level.
///   returns  false when the sink wants no more
/// Throws: UsageError for a folder that cannot be read, or gives no item.
bool add_folder(const std::string& folder, ItemSink& sink);

}  // namespace retinue::runtime
