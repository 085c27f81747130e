#pragma once

namespace leadsman {

/// Prints the broken condition and ends the process.
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace leadsman

/// For broken invariants only: never for anything a client, a file or a network can cause.
#define CHECK(condition)                             \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? void(0)                                     \
       : ::leadsman::CheckFailed(#condition, __FILE__, __LINE__))

#ifdef NDEBUG
#define DCHECK(condition) void(sizeof(static_cast<bool>(condition)))
#else
#define DCHECK(condition) CHECK(condition)
#endif
