// Threads as the operating system sees them: starting one, where it may run, how urgent it is.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "threads/cpu_set.h"

namespace qvl {

/// Starts a thread that runs the callable once. Throws std::system_error where the system refuses; tests hand
/// in one that does.
using StartThread = std::function<std::thread(std::function<void()>)>;
std::thread start_thread(std::function<void()> body);

/// The kernel's number of a thread, above 0.
using ThreadId = int;
ThreadId this_thread_id();
/// Up to 15 bytes, as process monitors show it.
void name_this_thread(const std::string& name);

/// Where the calling thread may run, not empty: all processors where a sandbox forbids the question.
CpuSet this_thread_affinity();
/// Where a thread may run. Of a thread that has ended: the empty set.
CpuSet thread_affinity(ThreadId thread);
/// Whether the kernel did it. The set takes effect before the call returns.
bool set_thread_affinity(ThreadId thread, const CpuSet& cpus);

/// How soon a thread gets a processor that others want too.
struct OsPriority {
  /// `batch` threads do not interrupt a running thread when they wake. Either is possible at any time,
  /// without rights.
  enum class Class { normal, batch };
  int nice = 0;  ///< -20 (most urgent) to 19; on most systems compared within a login session only
  Class os_class = Class::normal;

  bool operator==(const OsPriority&) const = default;
};

/// Of a thread that has ended: the default. Classes other than batch are shown as normal.
OsPriority thread_priority(ThreadId thread);
/// Whether the kernel did all of it. A thread of a real-time or idle class is left as it is: somebody chose
/// that on purpose.
bool set_thread_priority(ThreadId thread, const OsPriority& priority);
/// Whether this process may make its threads more urgent than they are, thus also undo making them less so.
/// Tries it on the calling thread, and undoes it.
bool may_raise_priority();

}  // namespace qvl
