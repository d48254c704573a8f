// Judges objects of the Prometheus operator by its own models. Reads a JSON list of them from standard input, writes one
// mistake a line, and ends with 1 if there is any.
//
// The models accept unknown keys, as the API server drops them: a misspelt `for` would be no `for`. So the keys that may
// stand where ours do are listed here (API reference of the operator, monitoring.coreos.com/v1).
import {PrometheusRule, ServiceMonitor} from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import {readFileSync} from 'node:fs';

const models = {PrometheusRule, ServiceMonitor};
const top = {apiVersion: null, kind: null, metadata: {name: null, namespace: null, labels: 'any', annotations: 'any'}};
const keys = {
  PrometheusRule: {
    ...top,
    spec: {
      groups: [{
        name: null, interval: null, query_offset: null, limit: null, partial_response_strategy: null, labels: 'any',
        rules: [{record: null, alert: null, expr: null, for: null, keep_firing_for: null, labels: 'any', annotations: 'any'}],
      }],
    },
  },
  ServiceMonitor: {
    ...top,
    spec: {
      jobLabel: null, targetLabels: null, podTargetLabels: null, sampleLimit: null, scrapeProtocols: null,
      selector: {matchLabels: 'any', matchExpressions: 'any'},
      namespaceSelector: {any: null, matchNames: null},
      endpoints: [{
        port: null, targetPort: null, path: null, scheme: null, interval: null, scrapeTimeout: null, honorLabels: null,
        basicAuth: 'any', authorization: 'any', tlsConfig: 'any', relabelings: 'any', metricRelabelings: 'any',
      }],
    },
  },
};

function unknown(value, allowed, path) {
  if (allowed === 'any' || allowed === null || typeof value !== 'object') return [];
  if (Array.isArray(allowed)) return value.flatMap((item, index) => unknown(item, allowed[0], `${path}[${index}]`));
  return Object.entries(value).flatMap(([key, inner]) =>
    key in allowed ? unknown(inner, allowed[key], `${path}.${key}`) : [`${path}.${key}: no such key`]);
}

const mistakes = JSON.parse(readFileSync(0, 'utf8')).flatMap(object => {
  const name = `${object.kind}/${object.metadata?.name}`;
  const Model = models[object.kind];
  if (!Model) return [`${name}: no model of this kind is asked`];
  const found = unknown(object, keys[object.kind], name);
  try {
    new Model(object).validate();
  } catch (error) {
    found.push(`${name}: ${error.message}`);
  }
  return found;
});
for (const mistake of mistakes) console.log(mistake);
process.exit(mistakes.length ? 1 : 0);
