#include "base/turn.h"

namespace leadsman {
namespace {

thread_local Turn* turn_of_this_thread = nullptr;

}  // namespace

Turn* Turn::OfThisThread() { return turn_of_this_thread; }

TurnScope::TurnScope(Turn& turn) : before_(turn_of_this_thread) { turn_of_this_thread = &turn; }
TurnScope::~TurnScope() { turn_of_this_thread = before_; }

}  // namespace leadsman
