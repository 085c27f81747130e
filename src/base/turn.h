#pragma once

#include <functional>

namespace leadsman {

/// The event loop of a thread, for whoever wants to do something once for all that one of its turns
/// has brought. A loop registers itself with a TurnScope while it runs.
class Turn {
 public:
  /// Null on threads without an event loop.
  static Turn* OfThisThread();

  /// Runs `task` on this thread, once, after the events that are being handled, and before the loop
  /// sleeps. By the loop's thread alone. `task` must not throw.
  virtual void AtEnd(std::function<void()> task) = 0;

 protected:
  ~Turn() = default;
};

class TurnScope {
 public:
  explicit TurnScope(Turn& turn);
  ~TurnScope();
  TurnScope(const TurnScope&) = delete;
  TurnScope& operator=(const TurnScope&) = delete;

 private:
  Turn* const before_;
};

}  // namespace leadsman
