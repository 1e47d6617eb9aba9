"""dbt's own adapters for BigQuery and Redshift against `sluice local`: seeds, models of every kind, snapshots, tests, the catalogue."""

import csv
import json
import os
import subprocess
import unittest

from peers import FOLDER, missing
from sluice import Case, LocalCloud

DBT = FOLDER / "dbt" / "bin" / "dbt"

PROJECT = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nmodels: {shop: {+materialized: view}}\nflags: {send_anonymous_usage_stats: false}\n",
    "seeds/raw_orders.csv": "id,customer,amount,at,day\n1,a,10.5,2024-01-01 10:00:00,2024-01-01\n2,b,20,2024-01-02 11:00:00,2024-01-02\n3,a,7.25,2024-01-03 12:00:00,2024-01-03\n",
    "seeds/customers.csv": "customer,name\na,Ann\nb,Bob\n",
    "models/orders.sql": "select id, customer, cast(amount as numeric) as amount, cast(at as timestamp) as at, cast(day as date) as day from {{ ref('raw_orders') }}",
    "models/large.sql": "{{ config(materialized='ephemeral') }} select customer, amount from {{ ref('orders') }} where amount > 8",
    "models/totals.sql": "{{ config(materialized='table') }} select c.name, count(*) as n, sum(l.amount) as total from {{ ref('large') }} l join {{ ref('customers') }} c on c.customer = l.customer group by 1",
    "models/merged.sql": "{{ config(materialized='incremental', unique_key='id', incremental_strategy='merge') }} select * from {{ ref('orders') }}"
    " {% if is_incremental() %} where at >= (select max(at) from {{ this }}) {% endif %}",
    "models/replaced.sql": "{{ config(materialized='incremental', incremental_strategy='insert_overwrite', partition_by={'field': 'day', 'data_type': 'date'}, cluster_by=['customer']) if target.type == 'bigquery'"
    " else config(materialized='incremental', incremental_strategy='delete+insert', unique_key='id') }} select id, customer, day, amount from {{ ref('orders') }}",
    "models/schema.yml": """
version: 2
models:
  - name: orders
    columns:
      - {name: id, description: the id, tests: [unique, not_null]}
      - {name: customer, tests: [{relationships: {arguments: {to: ref('customers'), field: customer}}}, {accepted_values: {arguments: {values: [a, b]}}}]}
  - name: totals
    config: {persist_docs: {relation: true, columns: true}}
    description: totals by customer
    columns: [{name: name, description: who}]
""",
    "snapshots/kept.sql": "{% snapshot kept %} {{ config(target_schema=target.schema, unique_key='id', strategy='check', check_cols=['amount']) }} select * from {{ ref('orders') }} {% endsnapshot %}",
}


@unittest.skipUnless(DBT.exists(), missing(DBT) + " when it is named")
class Dbt(Case):
    def setUp(self):
        super().setUp()
        self.project = self.tmp / "project"
        for name, text in PROJECT.items():
            (self.project / name).parent.mkdir(parents=True, exist_ok=True)
            (self.project / name).write_text(text)

    def dbt(self, *command):
        env = {**self.env(), "HOME": str(self.tmp), "PATH": os.environ["PATH"], "DO_NOT_TRACK": "1"}
        done = subprocess.run([DBT, "--no-use-colors", *command, "--project-dir", self.project, "--profiles-dir", self.project], env=env, capture_output=True, text=True, timeout=200)
        self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr[-2000:])
        return done.stdout

    def rows(self, select):
        """What a query gives, as dbt shows it."""
        text = self.dbt("--quiet", "show", "--inline", select, "--output", "json", "--limit", "50")
        return json.loads(text[text.index("{") :])["show"]

    def play(self, profile):
        (self.project / "profiles.yml").write_text(f"shop:\n  target: dev\n  outputs:\n    dev: {profile}\n")
        self.dbt("seed")
        self.dbt("run")
        self.dbt("snapshot")
        self.assertIn("PASS=4 WARN=0 ERROR=0", self.dbt("test"))
        totals = "select name, n, total from {{ ref('totals') }} order by name"
        self.assertEqual([(r["name"], r["n"], float(r["total"])) for r in self.rows(totals)], [("Ann", 1, 10.5), ("Bob", 1, 20.0)])
        # One row changes, one comes.
        path = self.project / "seeds" / "raw_orders.csv"
        lines = list(csv.reader(PROJECT["seeds/raw_orders.csv"].splitlines()))
        lines[3][2] = "9.75"
        path.write_text("\n".join(",".join(row) for row in [*lines, ["4", "b", "1", "2024-01-04 13:00:00", "2024-01-04"]]) + "\n")
        self.dbt("seed", "--full-refresh")
        self.dbt("run")
        self.dbt("snapshot")
        self.assertEqual([(r["name"], r["n"], float(r["total"])) for r in self.rows(totals)], [("Ann", 2, 20.25), ("Bob", 1, 20.0)])
        for model in ("merged", "replaced"):
            self.assertEqual([(r["id"], float(r["amount"])) for r in self.rows("select id, amount from {{ ref('%s') }} order by id" % model)], [(1, 10.5), (2, 20.0), (3, 9.75), (4, 1.0)])
        self.assertEqual([(r["n"], r["now"]) for r in self.rows("select count(*) as n, sum(case when dbt_valid_to is null then 1 else 0 end) as now from {{ ref('kept') }}")], [(5, 4)])
        self.dbt("docs", "generate")
        self.dbt("run", "--full-refresh")

    def test_bigquery(self):
        with LocalCloud(self):
            env = self.cloud_env()
            self.play(f"{{type: bigquery, method: service-account, keyfile: {env['GOOGLE_APPLICATION_CREDENTIALS']}, project: local-project, dataset: shop, location: US, api_endpoint: '{env['BIGQUERY_EMULATOR_HOST']}', threads: 2}}")

    def test_redshift(self):
        with LocalCloud(self):
            env = self.cloud_env()
            self.play(f"{{type: redshift, host: {env['REDSHIFT_HOST']}, port: {env['REDSHIFT_PORT']}, user: {env['REDSHIFT_USER']}, password: '{env['REDSHIFT_PASSWORD']}', dbname: dev, schema: shop, threads: 2, sslmode: disable}}")

    def cloud_env(self):
        return dict(line.removeprefix("export ").split("=", 1) for line in self.ok(self.sluice("local", "env")).out.splitlines())


if __name__ == "__main__":
    unittest.main()
