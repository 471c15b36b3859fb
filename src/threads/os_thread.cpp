#include "threads/os_thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace qvl {
namespace {

constexpr int kMostUrgent = -20;

constexpr size_t kernel_set_bytes = CPU_ALLOC_SIZE(CpuSet::kMostCpus);
// On the stack: a thread must go back to where it was also when there is no memory.
using KernelSet = std::array<cpu_set_t, kernel_set_bytes / sizeof(cpu_set_t)>;
static_assert(sizeof(KernelSet) == kernel_set_bytes);

KernelSet empty_kernel_set() {
  KernelSet set;
  CPU_ZERO_S(kernel_set_bytes, set.data());
  return set;
}

}  // namespace

std::thread start_thread(std::function<void()> body) { return std::thread(std::move(body)); }

ThreadId this_thread_id() { return ::gettid(); }

void name_this_thread(const std::string& name) {
  ::pthread_setname_np(::pthread_self(), name.substr(0, 15).c_str());
}

CpuSet this_thread_affinity() {
  CpuSet out = thread_affinity(this_thread_id());
  if (out.empty()) {  // a sandbox forbids the question
    const unsigned processors =
        std::clamp(std::thread::hardware_concurrency(), 1U, unsigned{CpuSet::kMostCpus});
    for (unsigned cpu = 0; cpu < processors; ++cpu) out.add(static_cast<int>(cpu));
  }
  return out;
}

CpuSet thread_affinity(ThreadId thread) {
  KernelSet set = empty_kernel_set();
  CpuSet out;
  if (::sched_getaffinity(thread, kernel_set_bytes, set.data()) != 0) return out;
  for (int cpu = 0; cpu < CpuSet::kMostCpus; ++cpu) {
    if (CPU_ISSET_S(static_cast<size_t>(cpu), kernel_set_bytes, set.data())) out.add(cpu);
  }
  return out;
}

bool set_thread_affinity(ThreadId thread, const CpuSet& cpus) {
  KernelSet set = empty_kernel_set();
  for (int cpu : cpus) CPU_SET_S(static_cast<size_t>(cpu), kernel_set_bytes, set.data());
  return ::sched_setaffinity(thread, kernel_set_bytes, set.data()) == 0;
}

OsPriority thread_priority(ThreadId thread) {
  OsPriority out;
  errno = 0;  // -1 is a priority too
  const int nice = ::getpriority(PRIO_PROCESS, static_cast<id_t>(thread));
  if (errno == 0) out.nice = nice;
  if (::sched_getscheduler(thread) == SCHED_BATCH) out.os_class = OsPriority::Class::batch;
  return out;
}

bool set_thread_priority(ThreadId thread, const OsPriority& priority) {
  const int scheduler = ::sched_getscheduler(thread);
  if (scheduler != SCHED_OTHER && scheduler != SCHED_BATCH) return false;
  const int wanted = priority.os_class == OsPriority::Class::batch ? SCHED_BATCH : SCHED_OTHER;
  const sched_param none{};
  const bool classed = scheduler == wanted || ::sched_setscheduler(thread, wanted, &none) == 0;
  return ::setpriority(PRIO_PROCESS, static_cast<id_t>(thread), priority.nice) == 0 && classed;
}

bool may_raise_priority() {
  const auto thread = static_cast<id_t>(this_thread_id());
  const int nice = thread_priority(this_thread_id()).nice;
  if (nice == kMostUrgent) return false;
  if (::setpriority(PRIO_PROCESS, thread, nice - 1) != 0) return false;
  return ::setpriority(PRIO_PROCESS, thread, nice) == 0;
}

}  // namespace qvl
