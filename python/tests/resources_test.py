"""ResourceScheduler: grants, order, limits and what is refused."""
import unittest

import qvl
from qvl import SystemOptimizationConfig as Config

CAPACITIES = {"compute": 4000, "memory": 1000, "io": 10, "gpu_memory": 0}


def granted(scheduler):
    grants = []
    while (grant := scheduler.allocate_resources()) is not None:
        grants.append(grant)
    return grants


class ResourceSchedulerTest(unittest.TestCase):
    def test_grants_up_to_the_ratio_and_again_after_a_release(self):
        scheduler = qvl.ResourceScheduler(Config(resource_reservation_ratio=0.5), CAPACITIES)
        for amount in (300, 200, 100):
            scheduler.request_resources("memory", amount)
        self.assertEqual(granted(scheduler), [("memory", 300), ("memory", 200)])
        scheduler.release_resources("memory", 300)
        self.assertEqual(granted(scheduler), [("memory", 100)])
        self.assertEqual(scheduler.get_resource_status()["resource_usage"]["memory"],
                         {"held": 300, "limit": 500, "capacity": 1000})

    def test_round_robin_takes_turns_between_kinds(self):
        scheduler = qvl.ResourceScheduler(Config(), CAPACITIES)
        for kind in ("memory", "memory", "io", "io", "compute"):
            scheduler.request_resources(kind, 1)
        self.assertEqual([kind for kind, _ in granted(scheduler)], ["compute", "memory", "io", "memory", "io"])

    def test_priority_takes_the_most_urgent_first(self):
        scheduler = qvl.ResourceScheduler(Config(scheduling_algorithm="priority"), CAPACITIES)
        for priority in (0, 9, 5):
            scheduler.request_resources("io", priority + 1 if priority < 2 else 1, priority=priority)
            scheduler.request_resources("memory", priority + 1, priority)
        self.assertEqual([amount for kind, amount in granted(scheduler) if kind == "memory"], [10, 6, 1])

    def test_load_balanced_takes_the_least_held_kind(self):
        scheduler = qvl.ResourceScheduler(Config(scheduling_algorithm="load_balanced"), CAPACITIES)
        scheduler.request_resources("memory", 600)
        self.assertEqual(scheduler.allocate_resources(), ("memory", 600))
        scheduler.request_resources("memory", 1)
        scheduler.request_resources("io", 1)
        self.assertEqual(granted(scheduler), [("io", 1), ("memory", 1)])

    def test_everything_is_granted_in_order_where_scheduling_is_off(self):
        scheduler = qvl.ResourceScheduler(Config(resource_scheduling_enabled=False), CAPACITIES)
        scheduler.request_resources("memory", 10 ** 9)
        scheduler.request_resources("gpu_memory", 7)
        self.assertEqual(granted(scheduler), [("memory", 10 ** 9), ("gpu_memory", 7)])

    def test_a_request_can_be_taken_back(self):
        scheduler = qvl.ResourceScheduler(Config(), CAPACITIES)
        ticket = scheduler.request_resources("io", 1)
        self.assertTrue(scheduler.cancel_request(ticket))
        self.assertFalse(scheduler.cancel_request(ticket))
        self.assertIsNone(scheduler.allocate_resources())

    def test_status_has_its_keys(self):
        scheduler = qvl.ResourceScheduler(Config(scheduling_algorithm="priority"), CAPACITIES)
        scheduler.request_resources("io", 1)
        status = scheduler.get_resource_status()
        self.assertEqual(sorted(status), ["queue_sizes", "resource_reservation_ratio", "resource_usage",
                                          "scheduling_algorithm"])
        self.assertEqual(status["queue_sizes"], {"compute": 0, "gpu_memory": 0, "io": 1, "memory": 0})
        self.assertEqual((status["resource_reservation_ratio"], status["scheduling_algorithm"]), (0.7, "priority"))

    def test_without_capacities_it_has_those_of_this_machine(self):
        usage = qvl.ResourceScheduler(Config(num_io_threads=3)).get_resource_status()["resource_usage"]
        self.assertEqual(usage["io"]["capacity"], 6)
        self.assertEqual(usage["compute"]["capacity"], 1000 * qvl.hardware_info()["cpu_budget_threads"])

    def test_refuses_what_is_out_of_its_range(self):
        scheduler = qvl.ResourceScheduler(Config(), CAPACITIES)
        for call, message in [
            (lambda: scheduler.request_resources("disk", 1),
             "kind: found 'disk', expected one of compute, memory, io, gpu_memory"),
            (lambda: scheduler.request_resources("memory", 0),
             "amount: found 0, expected 1 to 700 (memory: all that may be held)"),
            (lambda: scheduler.request_resources("memory", 701),
             "amount: found 701, expected 1 to 700 (memory: all that may be held)"),
            (lambda: scheduler.request_resources("memory", -1),
             "amount: found -1, expected an integer from 1 to what may be held"),
            (lambda: scheduler.request_resources("memory", 2 ** 64),
             f"amount: found {2 ** 64}, expected an integer from 1 to what may be held"),
            (lambda: scheduler.request_resources("gpu_memory", 1), "amount: found 1, but no gpu_memory may be held"),
            (lambda: scheduler.request_resources("memory", 1, 10), "priority: found 10, expected 0 to 9"),
            (lambda: scheduler.request_resources("memory", 1, 10**10), "priority: found 10000000000, expected 0 to 9"),
            (lambda: qvl.ResourceScheduler(Config(), {"memory": True}),
             "capacities: memory: found True, expected an integer from 0 to 2^64 - 1"),
            (lambda: scheduler.release_resources("memory", 1), "amount: found 1, but no memory is held"),
            (lambda: qvl.ResourceScheduler(Config(), {"disk": 1}),
             'capacities: found "disk", expected compute, memory, io or gpu_memory'),
            (lambda: qvl.ResourceScheduler(Config(), {"io": -5}),
             "capacities: io: found -5, expected an integer from 0 to 2^64 - 1"),
        ]:
            with self.assertRaises(ValueError) as caught:
                call()
            self.assertEqual(str(caught.exception), message)

    def test_the_queue_is_bounded(self):
        scheduler = qvl.ResourceScheduler(Config(), CAPACITIES)
        for _ in range(1024):
            scheduler.request_resources("io", 7)
        with self.assertRaises(qvl.LimitError):
            scheduler.request_resources("io", 7)


if __name__ == "__main__":
    unittest.main()
