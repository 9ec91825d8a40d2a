#pragma once
// The line of the user's code that called into the library.

#include <span>
#include <string>
#include <vector>

namespace xtape::detail {

// Return addresses on the calling thread's stack, innermost first. Cheap beside called_at().
std::vector<void*> call_stack();

// "called at /home/me/train.cpp:12, in main": the innermost place on the stack that is not the library's or the
// standard library's, inlined functions included. Without debug information the module and the offset in it.
std::string called_at(std::span<void* const> stack);

}  // namespace xtape::detail
