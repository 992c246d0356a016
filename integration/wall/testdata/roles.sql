-- The people of the wall's databases, and what attacks.json calls outsiders. Cluster-wide.
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
CREATE ROLE carol LOGIN;
CREATE ROLE dave LOGIN;
CREATE ROLE outsider;
CREATE ROLE app_owner;
