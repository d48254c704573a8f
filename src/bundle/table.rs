//! The files themselves, as they lie in the repository. A test compares this table with the folders: a new file is one
//! line here.

/// One file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    /// Its folder, in the repository and in a bundle.
    pub(super) folder: &'static str,
    /// Its path in the folder.
    pub(super) path: &'static str,
    /// What is in it.
    pub(super) text: &'static str,
}

macro_rules! text {
    ($folder:literal, $path:literal) => {
        Text { folder: $folder, path: $path, text: include_str!(concat!("../../", $folder, "/", $path)) }
    };
}

/// Rules, as objects of the Prometheus operator and as plain files.
pub(super) const ALERTS: &[Text] = &[
    text!("alerts", "anomalies.yaml"),
    text!("alerts", "escalation.yaml"),
    text!("alerts", "exporter.yaml"),
    text!("alerts", "fleets.yaml"),
    text!("alerts", "temporal.yaml"),
    text!("alerts", "workers.yaml"),
    text!("alerts", "plain/anomalies.rules.yaml"),
    text!("alerts", "plain/escalation.rules.yaml"),
    text!("alerts", "plain/exporter.rules.yaml"),
    text!("alerts", "plain/fleets.rules.yaml"),
    text!("alerts", "plain/temporal.rules.yaml"),
    text!("alerts", "plain/workers.rules.yaml"),
];

/// Dashboards, for Grafana.
pub(super) const DASHBOARDS: &[Text] = &[
    text!("dashboards", "exporter.json"),
    text!("dashboards", "fleet-overview.json"),
    text!("dashboards", "slo.json"),
    text!("dashboards", "task-queues.json"),
    text!("dashboards", "worker.json"),
];

/// Runbooks, one for each alert, and their index.
pub(super) const RUNBOOKS: &[Text] = &[
    text!("runbooks", "README.md"),
    text!("runbooks", "TemporalDown.md"),
    text!("runbooks", "TemporalLocalActivityLatencyHigh.md"),
    text!("runbooks", "TemporalMessageTooLarge.md"),
    text!("runbooks", "TemporalNonDeterminismErrors.md"),
    text!("runbooks", "TemporalRequestLatencyHigh.md"),
    text!("runbooks", "TemporalRequestsFailing.md"),
    text!("runbooks", "TemporalRequestsNotFound.md"),
    text!("runbooks", "TemporalRequestsThrottled.md"),
    text!("runbooks", "TemporalScheduleToStartHigh.md"),
    text!("runbooks", "TemporalStickyCacheThrashing.md"),
    text!("runbooks", "TemporalTaskQueueBacklogAgeHigh.md"),
    text!("runbooks", "TemporalTaskQueueBacklogGrowing.md"),
    text!("runbooks", "TemporalTaskQueueNoPollers.md"),
    text!("runbooks", "TemporalTaskQueueWillNotDrain.md"),
    text!("runbooks", "TemporalUnregisteredActivity.md"),
    text!("runbooks", "TemporalVersionNoPollers.md"),
    text!("runbooks", "TemporalWorkerSlotsExhausted.md"),
    text!("runbooks", "TemporalWorkflowTaskLatencyHigh.md"),
    text!("runbooks", "TemporalWorkflowTasksFailing.md"),
    text!("runbooks", "TemporalWorkflowTimeout.md"),
    text!("runbooks", "WorkerCertificateExpiring.md"),
    text!("runbooks", "WorkerClockSkew.md"),
    text!("runbooks", "WorkerCpuHigh.md"),
    text!("runbooks", "WorkerDiskFillPredicted.md"),
    text!("runbooks", "WorkerDiskHigh.md"),
    text!("runbooks", "WorkerDown.md"),
    text!("runbooks", "WorkerDrainStuck.md"),
    text!("runbooks", "WorkerExporterAbsent.md"),
    text!("runbooks", "WorkerExporterBlind.md"),
    text!("runbooks", "WorkerExporterConfigReloadFailed.md"),
    text!("runbooks", "WorkerExporterDown.md"),
    text!("runbooks", "WorkerExporterMisconfigured.md"),
    text!("runbooks", "WorkerExporterStale.md"),
    text!("runbooks", "WorkerFlapping.md"),
    text!("runbooks", "WorkerFleetAbsent.md"),
    text!("runbooks", "WorkerFleetBelowExpected.md"),
    text!("runbooks", "WorkerFleetDegraded.md"),
    text!("runbooks", "WorkerFleetDown.md"),
    text!("runbooks", "WorkerHealthScoreLow.md"),
    text!("runbooks", "WorkerHeartbeatLate.md"),
    text!("runbooks", "WorkerMemoryExhaustionPredicted.md"),
    text!("runbooks", "WorkerMemoryHigh.md"),
    text!("runbooks", "WorkerNeverStarted.md"),
    text!("runbooks", "WorkerOutlier.md"),
    text!("runbooks", "WorkerRestarting.md"),
    text!("runbooks", "WorkerSaturated.md"),
    text!("runbooks", "WorkerSourceDown.md"),
    text!("runbooks", "WorkerStuck.md"),
    text!("runbooks", "WorkerTaskErrorBudgetBurn.md"),
    text!("runbooks", "WorkerTaskFailureRatioHigh.md"),
    text!("runbooks", "WorkerTaskLatencyAnomalous.md"),
    text!("runbooks", "WorkerTaskLatencyHigh.md"),
    text!("runbooks", "WorkerTasksStalled.md"),
    text!("runbooks", "WorkerThroughputAnomalous.md"),
    text!("runbooks", "WorkerVersionSkew.md"),
    text!("runbooks", "WorkerWatchdog.md"),
];
