"""Background jobs of a served product, each on a schedule of its own.

    cases            follow the consent log and open cases            every 2 s
    delivery         send notices that are due                        every 2 s
    announcements    announce the read logs of gates that wait        every 2 s
    anchoring        record size and root of read logs that grew      every minute
    publication      write the public tile directories                every minute
    witnesses        ask the witnesses, and name those left out       every minute
    timestamps       have the published checkpoint stamped            every minute
    read-logs        begin the next read log; remove old ones         every minute
    snapshots        write the consent state for a fast start         every minute
    refits           fit a release that is due                        every minute
    departures       erase who asked for it 72 hours ago      every minute
    data-keys        make keys for whoever is new in the source       every 10 minutes
    contract-checks  check the source against the contracts           every hour

`schedule` lists them, `runner` runs them, `failure` describes failures in one line; every other
module is one job. portal.operations.job_results records how each run ended.
"""
